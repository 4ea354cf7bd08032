// The custom roles of Goldroll's identities. Written by `python -m adapters.role_definitions infra/roles`: do not edit.
// Deploy once in each subscription that a policy names: az deployment sub create --template-file roles.bicep
targetScope = 'subscription'

@description('Put behind the names of the roles, which must differ within a tenant when it has several subscriptions.')
param suffix string = ''

resource subscriptionReaderRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'subscription_reader')
  properties: {
    roleName: 'Goldroll Subscription Reader${suffix}'
    description: 'Read which VMs and scale sets a subscription has, its quota, and which resource providers are registered.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Authorization/permissions/read'
          'Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read'
          'Microsoft.Compute/locations/usages/read'
          'Microsoft.Compute/skus/read'
          'Microsoft.Compute/virtualMachineScaleSets/read'
          'Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read'
          'Microsoft.Compute/virtualMachines/read'
          'Microsoft.EventGrid/eventSubscriptions/read'
          'Microsoft.EventGrid/systemTopics/eventSubscriptions/read'
          'Microsoft.EventGrid/systemTopics/read'
          'Microsoft.Resources/subscriptions/providers/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource readerRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'reader')
  properties: {
    roleName: 'Goldroll Reader${suffix}'
    description: 'Read host pools, their sessions and session hosts, image versions and the network of new hosts.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Authorization/permissions/read'
          'Microsoft.Compute/galleries/images/read'
          'Microsoft.Compute/galleries/images/versions/read'
          'Microsoft.Compute/galleries/read'
          'Microsoft.Compute/virtualMachines/extensions/read'
          'Microsoft.Compute/virtualMachines/read'
          'Microsoft.Compute/virtualMachines/runCommands/read'
          'Microsoft.DesktopVirtualization/hostpools/read'
          'Microsoft.DesktopVirtualization/hostpools/scalingplans/read'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/read'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/usersessions/read'
          'Microsoft.DesktopVirtualization/hostpools/usersessions/read'
          'Microsoft.Network/virtualNetworks/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource hostPoolsRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'host_pools')
  properties: {
    roleName: 'Goldroll Host Pool Operator${suffix}'
    description: 'Set drain mode, send messages, sign people out, register and unregister session hosts.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.DesktopVirtualization/hostpools/retrieveRegistrationToken/action'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/delete'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/usersessions/delete'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/usersessions/sendMessage/action'
          'Microsoft.DesktopVirtualization/hostpools/sessionhosts/write'
          'Microsoft.DesktopVirtualization/hostpools/write'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource sessionHostsRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'session_hosts')
  properties: {
    roleName: 'Goldroll Session Host Operator${suffix}'
    description: 'Create, tag, start, switch off and delete VMs of session hosts.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Compute/disks/delete'
          'Microsoft.Compute/disks/write'
          'Microsoft.Compute/virtualMachines/deallocate/action'
          'Microsoft.Compute/virtualMachines/delete'
          'Microsoft.Compute/virtualMachines/extensions/write'
          'Microsoft.Compute/virtualMachines/runCommands/write'
          'Microsoft.Compute/virtualMachines/start/action'
          'Microsoft.Compute/virtualMachines/write'
          'Microsoft.Network/networkInterfaces/delete'
          'Microsoft.Network/networkInterfaces/join/action'
          'Microsoft.Network/networkInterfaces/write'
          'Microsoft.Resources/tags/write'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource networkRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'network')
  properties: {
    roleName: 'Goldroll Subnet Joiner${suffix}'
    description: 'Connect new session hosts to a subnet.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Network/virtualNetworks/subnets/join/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource keyVaultRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'key_vault')
  properties: {
    roleName: 'Goldroll Key Vault Deployer${suffix}'
    description: 'Let Azure fetch the password for joining a domain when a session host is made. Secrets cannot be read.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Authorization/permissions/read'
          'Microsoft.KeyVault/vaults/deploy/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource identitiesRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'identities')
  properties: {
    roleName: 'Goldroll Identity Assigner${suffix}'
    description: 'Give new session hosts the identities of those they replace.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Authorization/permissions/read'
          'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource imagesRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'goldroll', 'images')
  properties: {
    roleName: 'Goldroll Image Manager${suffix}'
    description: 'Mark image versions, change their regions, replicas and end of life, and delete those that are retired.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Compute/galleries/images/versions/delete'
          'Microsoft.Compute/galleries/images/versions/write'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

@description('Assign at: subscription.')
output subscriptionReaderRoleId string = subscriptionReaderRole.id

@description('Assign at: host_pools, session_hosts, gallery, virtual_network.')
output readerRoleId string = readerRole.id

@description('Assign at: host_pools.')
output hostPoolsRoleId string = hostPoolsRole.id

@description('Assign at: session_hosts.')
output sessionHostsRoleId string = sessionHostsRole.id

@description('Assign at: subnet.')
output networkRoleId string = networkRole.id

@description('Assign at: key_vault.')
output keyVaultRoleId string = keyVaultRole.id

@description('Assign at: identities.')
output identitiesRoleId string = identitiesRole.id

@description('Assign at: gallery.')
output imagesRoleId string = imagesRole.id
